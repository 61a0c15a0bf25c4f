"""Hard cases of language identification, written for this test: short, without kana, or in two scripts.

Japanese without kana against simplified and traditional Chinese and Korean; old characters, addresses, tables, names of
law; Chinese and English that quote a little Japanese; Japanese with much English in it.
"""

JAPANESE_KANJI = """
東京都港区赤坂一丁目
大阪府大阪市北区梅田三丁目一番一号
京都市左京区吉田本町
神奈川県横浜市中区日本大通
北海道札幌市中央区北一条西二丁目
沖縄県那覇市泉崎
千代田区霞が関
個人情報保護方針
特定商取引法表記
会社概要
採用情報
営業時間
定休日
駐車場完備
送料無料
在庫切
売上高
営業利益
当期純損失
貸借対照表
損益計算書
株主総会招集通知
代表取締役社長
取締役会議事録
有価証券報告書
前年同期比増減率
令和五年度決算報告
平成三十一年四月一日施行
労働基準法施行規則
地方自治法施行令
航空法
道路交通法
民事訴訟法
国税徴収法
消費税法施行令附則
児童福祉法
公職選挙法
独立行政法人
都道府県知事
市区町村議会
厚生労働省告示
経済産業省
国土交通省航空局
文部科学省
気象庁発表
大雨洪水警報
震度五弱
新幹線運転見合
駅前広場再開発
桜並木
図書館利用案内
自転車駐輪場
東京駅
広島県
円相場
発電所
渋谷区
浜辺
黒沢
働方改革
込山
峠道
畑作
辻村
匂宮
榊原
凪
一般社団法人
内閣総理大臣
予算概算要求
機構定員要求
歳入歳出決算
社会保険労務士
税理士法人
弁護士事務所
出張旅費規程
就業規則
慶弔見舞金
深夜割増賃金
品名 数量 単価 金額 備考
氏名 住所 電話番号 生年月日
月 火 水 木 金 土 日 祝
売上高 営業利益 経常利益 当期純利益
県名 人口 面積 世帯数
""".strip().split("\n")

JAPANESE_OTHER = """
カタログ
ｶﾌﾞｼｷｶﾞｲｼｬ
お問い合わせ
PDFをダウンロード
ログイン
JavaScriptで実装する
Pythonのlist comprehensionを使ってfilterする方法
The meaning of 侘び寂び は日本語でも説明が難しい
std::vectorに要素を追加する
令和6年度 第1回 入札公告（電子入札）
東京都内の大学に通う
中国語の「你好」は「こんにちは」と訳される
한국語の「안녕하세요」は挨拶の言葉である
子曰く、学びて時に之を習ふ
国境の長いトンネルを抜ける
""".strip().split("\n")

SIMPLIFIED = """
公司简介
产品说明书
联系我们
营业时间
个人信息保护政策
北京市朝阳区建国路八十八号
上海市浦东新区世纪大道一百号
广东省深圳市南山区科技园
四川省成都市武侯区
中华人民共和国劳动合同法
国务院办公厅通知
人民法院判决书
资产负债表
利润表
营业收入
净利润
董事会决议公告
股东大会
招聘信息
免费送货
使用条款
隐私政策
图书馆开放时间
火车站
飞机场
经济发展
汉语词典
说明
你好
谢谢
他们是学生
我的朋友在图书馆
这是一个很好的问题
今天天气很好，我们去公园散步吧。
请输入您的用户名和密码
本公司专业从事机械设备的研发与销售
姓名 地址 电话 出生日期
星期一 星期二 星期三
数量 单价 总额 备注
春眠不觉晓，处处闻啼鸟
""".strip().split("\n")

TRADITIONAL = """
公司簡介
產品說明書
聯絡我們
營業時間
個人資料保護政策
臺北市信義區市府路一號
香港特別行政區政府
新北市板橋區
高雄市前鎮區
立法院第十屆第一會期
臺灣證券交易所
財務報表附註
綜合損益表
我們的使命
歡迎光臨
你好嗎
謝謝您
他們是學生
這是一個很好的問題
我的朋友在圖書館裡看書
請輸入您的使用者名稱與密碼
今天天氣很好，我們去公園散步吧。
本公司專業從事機械設備的研發與銷售
如果您有任何問題，請與客服人員聯繫
姓名 地址 電話 出生年月日 備註欄
學而時習之，不亦說乎
春眠不覺曉，處處聞啼鳥
""".strip().split("\n")

CHINESE_OTHER = """
优衣库の日系风格服装，品质很好，价格也不贵
日本动画片「となりのトトロ」在中国很受欢迎，很多孩子都看过这部电影
品客の薯片专卖店欢迎您的光临
这款手机支持5G网络，屏幕尺寸为6.7英寸
""".strip().split("\n")

KOREAN = """
회사 소개
개인정보 처리방침
서울특별시 종로구 세종대로
대한민국 헌법 제1조
영업시간 안내
이용약관
고객센터
오늘은 날씨가 좋습니다
大韓民國은 民主共和國이다
國家는 個人이 가지는 不可侵의 基本的 人權을 確認한다
삼성전자 주식회사
한국어와 日本語를 배우다
문의하기
가나다라마바사
제품 설명서 PDF 다운로드
""".strip().split("\n")

ENGLISH = """
Contact us
Privacy policy
The quick brown fox jumps over the lazy dog.
Terms and conditions of use
Kyoto (京都) is the former capital of Japan and has many temples and gardens.
Please enter your user name and password.
This function returns the number of elements in the container.
Tokyo Stock Exchange rules and regulations
Sushi, tempura and ramen are popular dishes all over the world.
How to install the package on your machine
The word 寿司 is usually written in kanji on signs in front of restaurants.
The annual report of the company was published in March.
""".strip().split("\n")

ITEMS: list[tuple[str, str, str]] = [
    *((text, "ja", "kanji only") for text in JAPANESE_KANJI),
    *((text, "ja", "kana") for text in JAPANESE_OTHER),
    *((text, "zh", "simplified") for text in SIMPLIFIED),
    *((text, "zh", "traditional") for text in TRADITIONAL),
    *((text, "zh", "some kana") for text in CHINESE_OTHER),
    *((text, "ko", "Korean") for text in KOREAN),
    *((text, "en", "English") for text in ENGLISH),
]
