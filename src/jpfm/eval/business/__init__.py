"""eval/business"""
